// SPDX-License-Identifier: MIT
import java.io.File;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.concurrent.CountDownLatch;

/** Eight threads that allocate hard, so that the collector is always busy;
 * rounds until the gate file exists, then all again from nothing. */
public class Allocate {
	static final int THREADS = 8;
	static volatile boolean stop;

	static class Chain {
		long value;
		HashMap<Integer, long[]> table = new HashMap<>();
		ArrayList<String> strings = new ArrayList<>();

		Chain(long seed) {
			value = seed;
		}

		void round() {
			for (int i = 0; i < 2000; i++) {
				value = value * 6364136223846793005L + 1442695040888963407L;
				int key = (int) (value >>> 48) % 3000;
				long[] block = new long[100];
				block[i % 100] = value;
				table.put(key, block);
				if (strings.size() > 1000)
					strings = new ArrayList<>();
				strings.add(Long.toString(value));
			}
		}

		long sum() {
			long sum = value;
			for (long[] block : table.values())
				for (long v : block)
					sum ^= v;
			for (String s : strings)
				sum += s.hashCode();
			return sum;
		}
	}

	static class Worker extends Thread {
		final int number;
		final CountDownLatch busy;
		long rounds;
		Chain chain;

		Worker(int number, CountDownLatch busy) {
			this.number = number;
			this.busy = busy;
			chain = new Chain(number);
		}

		@Override
		public void run() {
			while (!stop || rounds < 10) {
				chain.round();
				if (++rounds == 5)
					busy.countDown();
			}
		}
	}

	public static void main(String[] args) throws Exception {
		CountDownLatch busy = new CountDownLatch(THREADS);
		Worker[] workers = new Worker[THREADS];
		for (int i = 0; i < THREADS; i++) {
			workers[i] = new Worker(i, busy);
			workers[i].start();
		}
		busy.await();
		System.out.println("ready");
		File gate = new File(args[0]);
		while (!gate.exists())
			Thread.sleep(20);
		stop = true;
		boolean ok = true;
		long total = 0;
		for (Worker w : workers) {
			w.join();
			Chain again = new Chain(w.number);
			for (long r = 0; r < w.rounds; r++)
				again.round();
			if (again.sum() != w.chain.sum()) {
				System.out.println("WRONG: worker " + w.number);
				ok = false;
			}
			total += w.rounds;
		}
		System.out.println("done rounds=" + total + (ok ? " ok" : " WRONG"));
		System.exit(ok ? 0 : 1);
	}
}
