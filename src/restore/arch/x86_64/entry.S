/* SPDX-License-Identifier: MIT */
/* The blob's first byte: bare_entry(plan). From the caller's stack, which is
 * about to be unmapped, to the plan's. */
	.section .text.entry, "ax", @progbits
	.globl bare_start
	.hidden bare_main
	.type bare_start, @function
bare_start:
	cld
	mov	16(%rdi), %rsp	/* plan->stack_top; asserted in main.c */
	and	$-16, %rsp
	xor	%ebp, %ebp
	call	bare_main
	hlt
	.size bare_start, . - bare_start
	.section .note.GNU-stack, "", @progbits
