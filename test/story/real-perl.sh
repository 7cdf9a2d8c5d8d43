# SPDX-License-Identifier: MIT
# perl: closures, a large hash, a file being read line by line.
# run-as: user root
# needs: perl
# timeout: 300
play perl "$CKPT_SOURCE/test/real/perl-closures.pl" GATE WORK
