/* SPDX-License-Identifier: MIT */
/* Where the bare restorer jumps to: %rbx struct survivor, %r12 index, and 1. */
	.section .text.entry, "ax", @progbits
	.globl bare_start
	.hidden survivor_main
bare_start:
	mov	%rbx, %rdi
	mov	%r12, %rsi
	mov	%rax, %rdx
	and	$-16, %rsp
	call	survivor_main
	hlt
	.section .note.GNU-stack, "", @progbits
