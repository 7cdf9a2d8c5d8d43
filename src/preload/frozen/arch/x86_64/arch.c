/* SPDX-License-Identifier: MIT */
/* What of the frozen room knows instructions. */
#define _GNU_SOURCE
#include <cpuid.h>

#include "preload/frozen/frozen.h"

#define OSXSAVE (1u << 27) /* leaf 1, ecx */
#define OSPKE (1u << 4)	   /* leaf 7, ecx */

static uint64_t xgetbv(uint32_t index)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
	return (uint64_t)high << 32 | low;
}

void arch_cpu(struct image_cpu *cpu)
{
	uint32_t a, b, c, d, family, model;

	if (!__get_cpuid(0, &a, &b, &c, &d))
		return;
	__builtin_memcpy(cpu->vendor, &b, 4);
	__builtin_memcpy(cpu->vendor + 4, &d, 4);
	__builtin_memcpy(cpu->vendor + 8, &c, 4);
	__get_cpuid(1, &a, &b, &c, &d);
	family = a >> 8 & 0xf;
	model = a >> 4 & 0xf;
	if (family == 6 || family == 15)
		model |= a >> 12 & 0xf0;
	if (family == 15)
		family += a >> 20 & 0xff;
	cpu->family = family;
	cpu->model = model;
	cpu->leaf1_ecx = c;
	cpu->leaf1_edx = d;
	if (c & OSXSAVE) {
		cpu->xcr0 = xgetbv(0);
		if (__get_cpuid_count(0xd, 0, &a, &b, &c, &d))
			cpu->xsave_size = b;
	}
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
		cpu->leaf7_ebx = b;
		cpu->leaf7_ecx = c;
		cpu->leaf7_edx = d;
	}
	if (__get_cpuid(0x80000001, &a, &b, &c, &d))
		cpu->ext1_ecx = c;
}

void arch_all_pkeys(void)
{
	uint32_t a, b, c, d;

	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(c & OSPKE))
		return;
	__asm__ volatile("wrpkru" : : "a"(0), "c"(0), "d"(0) : "memory");
}

void arch_on_stack(void *top, void (*run)(void *), void *argument)
{
	__asm__ volatile("mov %%rsp, %%rbx\n\t"
			 "mov %[top], %%rsp\n\t"
			 "call *%[run]\n\t"
			 "mov %%rbx, %%rsp"
			 : "+D"(argument)
			 : [top] "r"((uint64_t)top & -16ull), [run] "r"(run)
			 : "rbx", "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10",
			   "r11", "memory", "cc", "xmm0", "xmm1", "xmm2",
			   "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
			   "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
			   "xmm15");
}
