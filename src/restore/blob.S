/* SPDX-License-Identifier: MIT */
/* What ckpt_restart carries of this room. */
	.section .rodata, "a", @progbits
	.balign 4096
	.globl restore_blob, restore_blob_end
restore_blob:
	.incbin "src/restore/restore.bin"
restore_blob_end:
	.section .note.GNU-stack, "", @progbits
