# Partitions by mclust's agglomeration: Rscript tests/data/make_agglomerations.R > tests/data/agglomerations.csv
#
# They are made merge by merge, each from the partition that the last one has left: in a run of many
# merges, mclust 6.0 loses track of some determinants of VVV, and then takes merges that are not
# the cheapest by its own criterion. Waves of 0.05 on the data leave no ties.
suppressPackageStartupMessages(library(mclust))
mclust.options(warn = FALSE)

waves <- function(x) x + 0.05 * matrix(sin(seq_len(length(x))), nrow(x), byrow = TRUE)
plane <- cbind(sin(1.1 * (1:90)^2), cos(0.7 * (1:90)^2) + rep(0:2, 30))
space <- cbind(plane, sin(0.3 * (1:90)^2), cos(1.9 * (1:90)^2)^3, sin(0.9 * (1:90)^2))
sets <- list(iris = as.matrix(iris[, 1:4]), faithful = as.matrix(faithful), plane = plane, space = space)

cat("data,coordinates,criterion,k,labels\n")
for (name in names(sets)) for (use in c("SVD", "SPH", "STD")) for (criterion in c("VVV", "VII", "EII")) {
  z <- attr(hc(waves(unname(sets[[name]])), modelName = criterion, use = use, partition = NULL), "data")
  merge <- get(paste0("hc", criterion))
  labels <- seq_len(nrow(z))
  for (k in (nrow(z) - 1):2) {
    labels <- hclass(merge(z, partition = labels, minclus = k), k)[, 1]
    if (k <= 9) cat(name, use, criterion, k, paste(labels, collapse = ""), sep = ",")
    if (k <= 9) cat("\n")
  }
}
