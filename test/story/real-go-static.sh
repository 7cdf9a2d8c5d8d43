# SPDX-License-Identifier: MIT
# Go without cgo is static: it cannot be preloaded, and we say so at once.
# needs: go
cat >"$STORY_DIR/work/hello.go" <<'END'
package main

func main() { println("hello") }
END
check env GOCACHE="$STORY_DIR/tmp/go" CGO_ENABLED=0 \
	go build -o "$STORY_DIR/work/hello" "$STORY_DIR/work/hello.go"
start_coordinator
check_fails bounded ckpt_launch -p "$PORT" "$STORY_DIR/work/hello"
expect_said 'static'
