/* SPDX-License-Identifier: MIT */
/*
 * Which system call was that? When it has been interrupted its number is in
 * no register any more, but the code has loaded it: by `mov $n, %eax` or `xor
 * %eax, %eax`, then maybe some arguments, then `syscall`. So look back for the
 * first and follow the instructions from there; they must lead straight to
 * the second, and none may touch eax. Whatever is not known here means no.
 */
#define _GNU_SOURCE
#include "preload/handler/arch/x86_64/context.h"

#define BACK 48	 /* bytes, at most, and not into another page */
#define NUMBERS 1024

struct instruction {
	const unsigned char *at; /* behind it, when decoded */
	int rex;
	int mod, reg, rm; /* with the bits of rex */
};

#define REX_W 8
#define REX_R 4
#define REX_B 1

/* The ModRM byte and what hangs on it. */
static void operand(struct instruction *i)
{
	int byte = *i->at++;
	int base = byte & 7;

	i->mod = byte >> 6;
	i->reg = (byte >> 3 & 7) | (i->rex & REX_R ? 8 : 0);
	i->rm = base | (i->rex & REX_B ? 8 : 0);
	if (i->mod == 3)
		return;
	if (base == 4)
		base = *i->at++ & 7; /* SIB */
	if (i->mod == 1)
		i->at += 1;
	else if (i->mod == 2 || base == 5)
		i->at += 4;
}

static int touches_rm(const struct instruction *i)
{
	return i->mod == 3 && i->rm == 0;
}

static int touches_reg(const struct instruction *i)
{
	return i->reg == 0;
}

/* Steps over one instruction. 0: it touches eax, or is not one we know. */
static int step(struct instruction *i)
{
	int opcode;

	i->rex = 0;
	if ((*i->at & 0xf0) == 0x40)
		i->rex = *i->at++;
	opcode = *i->at++;
	switch (opcode) {
	case 0x01: case 0x09: case 0x21: case 0x29: case 0x31: /* op r, r/m */
	case 0x88: case 0x89:				       /* mov r, r/m */
		operand(i);
		return !touches_rm(i);
	case 0x03: case 0x0b: case 0x23: case 0x2b: case 0x33: /* op r/m, r */
	case 0x63: case 0x8b: case 0x8d:	     /* movslq, mov, lea */
		operand(i);
		return !touches_reg(i);
	case 0x39: case 0x3b: case 0x84: case 0x85: /* cmp, test */
		operand(i);
		return 1;
	case 0x80: case 0x83: case 0xc0: case 0xc1: case 0xc6: /* ..., imm8 */
		operand(i);
		i->at += 1;
		return !touches_rm(i);
	case 0x81: case 0xc7: /* ..., imm32 */
		operand(i);
		i->at += 4;
		return !touches_rm(i);
	case 0xd1: /* shift by one */
		operand(i);
		return !touches_rm(i);
	case 0xf7: /* not, neg */
		operand(i);
		return (i->reg & 7) >= 2 && (i->reg & 7) <= 3 && !touches_rm(i);
	case 0x90:
		return 1;
	case 0xb8: case 0xb9: case 0xba: case 0xbb: /* mov imm, r */
	case 0xbc: case 0xbd: case 0xbe: case 0xbf:
		i->at += i->rex & REX_W ? 8 : 4;
		return opcode != 0xb8 || i->rex & REX_B;
	case 0x0f:
		break;
	default:
		return 0;
	}

	opcode = *i->at++;
	operand(i);
	if (opcode == 0x1f || opcode == 0x10 || opcode == 0x11 ||
	    opcode == 0x28 || opcode == 0x29) /* nop, moves of xmm */
		return 1;
	if ((opcode & 0xf0) == 0x90) /* setcc */
		return !touches_rm(i);
	if ((opcode & 0xf0) == 0x40 || opcode == 0xb6 || opcode == 0xb7)
		return !touches_reg(i); /* cmovcc, movzx */
	return 0;
}

static int leads_to(const unsigned char *from, const unsigned char *call)
{
	struct instruction i = {.at = from};

	while (i.at < call)
		if (!step(&i))
			return 0;
	return i.at == call;
}

int64_t context_call_number(const unsigned char *call)
{
	uint64_t page = (uintptr_t)call & 4095, back;
	uint32_t number;

	for (back = 2; back <= BACK && back <= page; back++) {
		const unsigned char *at = call - back;

		/* The byte before may be its prefix, for another register. */
		if (back < page && (at[-1] & 0xf0) == 0x40 &&
		    at[-1] & (REX_R | REX_B))
			continue;
		if ((at[0] == 0x31 || at[0] == 0x33) && at[1] == 0xc0) {
			if (leads_to(at + 2, call))
				return 0;
		} else if (at[0] == 0xb8 && back >= 5) {
			__builtin_memcpy(&number, at + 1, sizeof(number));
			if (number < NUMBERS && leads_to(at + 5, call))
				return number;
		}
	}
	return -1;
}
