// SPDX-License-Identifier: MIT
// park-exceptions: C++ exceptions thrown, and threads cancelled, while stops
// come at every moment; the unwinder's locks and tables are as they were.
#include <pthread.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static std::atomic<bool> over;
static std::atomic<long> caught, unwound;

struct guard {
	~guard() { unwound++; }
};

static int deep(int n)
{
	guard g;

	if (n == 0)
		throw std::runtime_error("deep " + std::to_string(caught));
	return deep(n - 1) + 1;
}

static void thrower()
{
	while (!over) {
		try {
			deep(20);
		} catch (const std::runtime_error &e) {
			caught++;
		}
	}
}

// Cancelled in poll(), in the stub of a call that goes on: destructors run.
static void *sleeper(void *)
{
	guard g;

	for (;;)
		poll(nullptr, 0, 100000);
}

int main()
{
	std::vector<std::thread> threads;
	long cancelled = 0;
	void *result;

	for (int i = 0; i < 3; i++)
		threads.emplace_back(thrower);
	for (int i = 0; i < 15; i++) {
		pthread_t t;
		struct timespec wait = {0, 80000000};

		pthread_create(&t, nullptr, sleeper, nullptr);
		nanosleep(&wait, nullptr);
		pthread_cancel(t);
		pthread_join(t, &result);
		if (result != PTHREAD_CANCELED)
			return 1;
		cancelled++;
	}
	over = true;
	for (auto &t : threads)
		t.join();
	if (unwound != caught * 21 + cancelled) {
		fprintf(stderr, "%ld unwound, %ld caught\n", unwound.load(),
			caught.load());
		return 1;
	}
	return caught > 100 ? 0 : 1;
}
