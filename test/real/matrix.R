# SPDX-License-Identifier: MIT
# A matrix and a list grown in rounds until the gate file exists, then all
# again from nothing.
gate <- commandArgs(trailingOnly = TRUE)[1]
round_of <- function(state) {
	m <- state$m %*% state$m
	m <- m / max(abs(m)) + diag(nrow(m)) / 7
	list(m = m, words = c(head(state$words, 500), format(sum(m), digits = 15)))
}
start <- function() list(m = outer(1:60, 1:60, function(i, j) sin(i * j)), words = character(0))
state <- start()
rounds <- 0
while (!file.exists(gate) || rounds < 20) {
	state <- round_of(state)
	rounds <- rounds + 1
	if (rounds == 10) cat("ready\n")
}
again <- start()
for (i in seq_len(rounds)) again <- round_of(again)
ok <- identical(again, state)
cat("done rounds=", rounds, if (ok) " ok" else " WRONG", "\n", sep = "")
quit(status = if (ok) 0 else 1)
