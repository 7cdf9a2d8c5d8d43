/* SPDX-License-Identifier: MIT */
	.section .rodata, "a", @progbits
	.balign 4096
	.globl survivor_blob, survivor_blob_end
survivor_blob:
	.incbin "test/unit/survivor.bin"
survivor_blob_end:
	.section .note.GNU-stack, "", @progbits
