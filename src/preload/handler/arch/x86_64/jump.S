/* SPDX-License-Identifier: MIT */
/*
 * int park_save(struct image_jump *jump): 0 now. The bare restorer, in the
 * new life, loads these registers, puts 1 into eax and jumps to rip: it looks
 * as if this function had returned a second time.
 */
	.text
	.hidden	park_save
	.globl	park_save
	.type	park_save, @function
	.p2align 4
park_save:
	.cfi_startproc
	mov	%rbx, 0(%rdi)
	mov	%rbp, 8(%rdi)
	mov	%r12, 16(%rdi)
	mov	%r13, 24(%rdi)
	mov	%r14, 32(%rdi)
	mov	%r15, 40(%rdi)
	lea	8(%rsp), %rdx
	mov	%rdx, 48(%rdi)
	mov	(%rsp), %rdx
	mov	%rdx, 56(%rdi)
	xor	%eax, %eax
	ret
	.cfi_endproc
	.size	park_save, . - park_save

	.section .note.GNU-stack, "", @progbits
