# Overlaps by R's MixSim: Rscript tests/data/make_mixsim.R > tests/data/mixsim.json
#
# The examples of sections 3.1 and 3.2 of Melnykov, Chen & Maitra (2012), JSS 51(12), with all digits, as the
# package's demos run them; then mixtures of its generator, with parameters of four digits and the overlaps of
# these. Of covariances there are the lower triangles, row by row. `eps` is the error that MixSim allows; where
# it needs more than `lim` terms for that, MixSim returns -1. Stored with MixSim 1.0, built from source, in R 4.2.
suppressPackageStartupMessages(library(MixSim))
RNGkind("Mersenne-Twister", "Inversion")

number <- function(x, digits) formatC(x, digits = digits, format = "g", width = 1)
listed <- function(x) paste0("[", paste(x, collapse = ","), "]")
rows <- function(x, digits) listed(apply(x, 1, function(row) listed(number(row, digits))))
triangle <- function(x) t(x)[upper.tri(x, diag = TRUE)]

entry <- function(call, eps, Pi, Mu, S, found, digits) {
  stopifnot(found$OmegaMap >= 0)
  paste0(
    "{\"call\": \"", call, "\", \"eps\": ", eps, ",\n\"weights\": ", listed(number(Pi, 17)),
    ",\n\"means\": ", rows(Mu, digits), ",\n\"covariances\": ", rows(t(apply(S, 3, triangle)), digits),
    ",\n\"omega\": ", rows(found$OmegaMap, max(10, digits)),
    ",\n\"mean\": ", number(found$BarOmega, 17), ", \"largest\": ", number(found$MaxOmega, 17), "}"
  )
}

paper <- function(...) {
  set.seed(1234)
  q <- MixSim(...)
  entry(deparse1(substitute(MixSim(...))), c(list(...)$eps, 1e-6)[1], q$Pi, q$Mu, q$S, q, 17)
}

species <- function() {
  of <- split(iris[, -5], iris$Species)
  Pi <- as.vector(prop.table(table(iris$Species)))
  Mu <- unname(t(sapply(of, colMeans)))
  S <- array(sapply(of, var), c(4, 4, 3))
  entry("overlap(iris)", 1e-6, Pi, Mu, S, overlap(Pi, Mu, S), 17)
}

generated <- function(seed, ...) {
  set.seed(seed)
  q <- MixSim(...)
  most <- signif(q$Pi[-length(q$Pi)], 4)
  Pi <- if (length(unique(q$Pi)) == 1) q$Pi else c(most, 1 - sum(most))
  Mu <- signif(q$Mu, 4)
  S <- signif(q$S, 4)
  found <- overlap(Pi, Mu, S, eps = 1e-9, lim = 1e8)
  entry(deparse1(substitute(MixSim(...))), 1e-9, Pi, Mu, S, found, 4)
}

entries <- list(
  paper(BarOmega = 0.05, MaxOmega = 0.15, K = 4, p = 5),
  paper(MaxOmega = 0.1, K = 3, p = 2, sph = TRUE, PiLow = 0.1),
  paper(BarOmega = 0.05, K = 2, p = 4, sph = TRUE, hom = TRUE, int = c(0, 10), eps = 1e-10),
  species(),
  generated(1, MaxOmega = 0.3, K = 2, p = 2),
  generated(2, BarOmega = 0.03, K = 10, p = 2, PiLow = 0.02),
  generated(3, BarOmega = 0.2, K = 3, p = 3, PiLow = 0.1),
  generated(4, BarOmega = 0.001, K = 6, p = 4),
  generated(5, BarOmega = 0.02, MaxOmega = 0.1, K = 5, p = 5, PiLow = 0.05),
  generated(6, BarOmega = 0.1, K = 4, p = 6, hom = TRUE),
  generated(7, BarOmega = 0.01, K = 10, p = 6, PiLow = 0.05),
  generated(8, MaxOmega = 0.4, K = 3, p = 8, PiLow = 0.2),
  generated(9, BarOmega = 0.05, K = 6, p = 8),
  generated(10, BarOmega = 0.05, K = 2, p = 10, PiLow = 0.1),
  generated(11, MaxOmega = 0.05, K = 5, p = 10, hom = TRUE, PiLow = 0.02),
  generated(12, BarOmega = 0.01, K = 2, p = 12, ecc = 0.99),
  generated(13, BarOmega = 0.01, K = 4, p = 12, PiLow = 0.1),
  generated(14, BarOmega = 0.15, K = 3, p = 15),
  generated(15, BarOmega = 0.001, K = 2, p = 16, PiLow = 0.3),
  generated(16, BarOmega = 0.05, K = 2, p = 20),
  generated(17, MaxOmega = 0.01, K = 3, p = 20, PiLow = 0.05),
  generated(18, BarOmega = 0.1, MaxOmega = 0.5, K = 10, p = 3),
  generated(19, BarOmega = 0.02, K = 7, p = 7, PiLow = 0.1),
  generated(20, BarOmega = 0.05, K = 8, p = 2, sph = TRUE, PiLow = 0.03)
)
cat("[\n", paste(entries, collapse = ",\n"), "\n]\n", sep = "")
