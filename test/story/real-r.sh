# SPDX-License-Identifier: MIT
# R: matrices (BLAS) and lists.
# run-as: user root
# needs: Rscript
# timeout: 300
export R_HOME; R_HOME=$(R RHOME)
play "$R_HOME/bin/exec/R" --vanilla --no-echo "--file=$CKPT_SOURCE/test/real/matrix.R" --args GATE
