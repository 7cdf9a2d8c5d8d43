/* SPDX-License-Identifier: MIT */
/*
 * long syscall(long number, ...), as libc has it but for one store. Once such
 * a call has been interrupted, its number is in no register and in no code; so
 * it is left below the stack pointer, where the handler finds it
 * (calls.c). The library's own would hide it, and programs of every language
 * wait for their locks by this function. And there is no io_uring (queues.c).
 */
#include <asm/errno.h>
#include <sys/syscall.h>

	.text
	.globl	syscall
	.type	syscall, @function
	.p2align 4
syscall:
	.cfi_startproc
	cmp	$SYS_io_uring_setup, %rdi
	je	2f
	mov	%rdi, %rax
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	mov	%rcx, %rdx
	mov	%r8, %r10
	mov	%r9, %r8
	mov	8(%rsp), %r9
	mov	%rax, -8(%rsp)
	syscall
	.hidden	wrap_syscall_made
	.globl	wrap_syscall_made
wrap_syscall_made:
	cmp	$-4095, %rax
	jae	1f
	ret
1:	neg	%eax
	mov	%eax, %edi
	jmp	wrap_syscall_failed
2:	mov	$ENOSYS, %edi
	jmp	wrap_syscall_failed
	.cfi_endproc
	.size	syscall, . - syscall
	.hidden	wrap_syscall_failed

	.section .note.GNU-stack, "", @progbits
