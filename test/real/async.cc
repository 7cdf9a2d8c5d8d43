// SPDX-License-Identifier: MIT
// std::async tasks, exceptions always in flight, until the gate file exists;
// then all again from nothing.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <future>
#include <map>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

struct Thrown : std::runtime_error {
	uint64_t value;
	explicit Thrown(uint64_t v) : std::runtime_error(std::to_string(v)), value(v) {}
};

static uint64_t deep(uint64_t value, int depth)
{
	std::string keep(depth + 1, 'x'); // something to destroy while unwinding
	if (depth == 0)
		throw Thrown(value * 6364136223846793005u + keep.size());
	return deep(value + depth, depth - 1) + keep.size();
}

static uint64_t step(uint64_t value)
{
	std::map<uint64_t, std::string> table;

	for (int i = 0; i < 30; i++) {
		try {
			value = deep(value, 20);
		} catch (const Thrown &t) {
			value = t.value ^ std::stoull(t.what());
			table[value % 97] = t.what();
		}
	}
	return value + table.size();
}

static bool gate_open(const char *gate)
{
	return access(gate, F_OK) == 0;
}

int main(int, char **argv)
{
	uint64_t rounds = 0, value = 1;

	while (!gate_open(argv[1]) || rounds < 20) {
		std::vector<std::future<uint64_t>> tasks;
		for (int t = 0; t < 4; t++)
			tasks.push_back(std::async(std::launch::async, step, value + t));
		for (auto &task : tasks)
			value = value * 31 + task.get();
		if (++rounds == 10) {
			puts("ready");
			fflush(stdout);
		}
	}
	uint64_t again = 1;
	for (uint64_t r = 0; r < rounds; r++) {
		uint64_t next = again;
		for (int t = 0; t < 4; t++)
			next = next * 31 + step(again + t);
		again = next;
	}
	printf("done rounds=%lu %s\n", (unsigned long)rounds, again == value ? "ok" : "WRONG");
	return again == value ? 0 : 1;
}
