# SPDX-License-Identifier: MIT
# Go, built with cgo: goroutines, timers, channels, C calls.
# run-as: user root
# needs: go
# timeout: 300
check env GOCACHE="$STORY_DIR/tmp/go" GOFLAGS=-mod=mod CGO_ENABLED=1 \
	go build -o "$STORY_DIR/work/cgo" "$CKPT_SOURCE/test/real/cgo.go"
play "$STORY_DIR/work/cgo" GATE
