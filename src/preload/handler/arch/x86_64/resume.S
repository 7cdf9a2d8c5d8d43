/* SPDX-License-Identifier: MIT */
/*
 * See resume.h. The unwind information lets pthread_cancel() and whoever else
 * unwinds through here find the program's frame: the stack pointer and the
 * return address stand in the record.
 */
#include <asm/unistd.h>

#define ARGUMENTS 8
#define IP 56
#define SP 64
#define EXPIRED 112
#define DONE 112

	.text
	.hidden	park_resume_call, park_resume_called
	.hidden	park_resume_poll, park_resume_polled
	.hidden	park_resume_rest, park_resume_rested
	.globl	park_resume_call, park_resume_called
	.globl	park_resume_poll, park_resume_polled
	.globl	park_resume_rest, park_resume_rested
	.type	park_resume_poll, @function
	.p2align 4
	.cfi_startproc
	.cfi_signal_frame
	/* CFA = *(rsp + SP) */
	.cfi_escape 0x0f, 4, 0x77, 0xc0, 0x00, 0x06
	/* the return address is at rsp + IP */
	.cfi_escape 0x10, 16, 2, 0x77, 0x38
park_resume_poll:
	syscall
park_resume_polled:
	test	%rax, %rax
	js	park_resume_called
	jz	2f
	mov	ARGUMENTS+0(%rsp), %rdi
	mov	ARGUMENTS+8(%rsp), %rsi
	mov	ARGUMENTS+16(%rsp), %rdx
	mov	ARGUMENTS+24(%rsp), %r10
	mov	ARGUMENTS+32(%rsp), %r8
	mov	(%rsp), %rax
park_resume_call:
	syscall
park_resume_called:
	mov	ARGUMENTS+0(%rsp), %rdi
	mov	ARGUMENTS+8(%rsp), %rsi
	mov	ARGUMENTS+16(%rsp), %rdx
	mov	ARGUMENTS+24(%rsp), %r10
	mov	ARGUMENTS+32(%rsp), %r8
	mov	ARGUMENTS+40(%rsp), %r9
	mov	IP(%rsp), %rcx	/* as the kernel would leave it */
	.cfi_remember_state
	.cfi_register rip, rcx
	mov	SP(%rsp), %rsp
	.cfi_def_cfa rsp, 0
	jmp	*%rcx
	.cfi_restore_state
2:	mov	EXPIRED(%rsp), %rax
	jmp	park_resume_called
park_resume_rest:
	syscall
park_resume_rested:
	test	%rax, %rax
	jg	3f
	xor	%eax, %eax	/* an error now is the next call's */
3:	add	DONE(%rsp), %rax
	jmp	park_resume_called
	.cfi_endproc
	.size	park_resume_poll, . - park_resume_poll

	.section .note.GNU-stack, "", @progbits
