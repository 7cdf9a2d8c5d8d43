// SPDX-License-Identifier: MIT
// Goroutines with timers, channels and C calls, in rounds until the gate file
// exists; then all again from nothing.
package main

/*
static unsigned long long mix(unsigned long long v)
{
	for (int i = 0; i < 100; i++)
		v = v * 6364136223846793005ull + 1442695040888963407ull;
	return v;
}
*/
import "C"

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

func step(v uint64) uint64 {
	table := map[uint64][]byte{}
	for i := 0; i < 50; i++ {
		v = uint64(C.mix(C.ulonglong(v)))
		table[v%31] = append(table[v%31], byte(v))
	}
	for k := uint64(0); k < 31; k++ {
		for _, b := range table[k] {
			v = v*31 + uint64(b)
		}
	}
	return v
}

func main() {
	const workers = 16
	var stop, busy atomic.Int64
	var group sync.WaitGroup
	var rounds, value [workers]uint64
	for n := 0; n < workers; n++ {
		group.Add(1)
		go func(n int) {
			defer group.Done()
			v := uint64(n)
			for stop.Load() == 0 || rounds[n] < 10 {
				v = step(v)
				rounds[n]++
				if rounds[n] == 5 {
					busy.Add(1)
				}
				if rounds[n]%100 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			value[n] = v
		}(n)
	}
	said := false
	for range time.Tick(10 * time.Millisecond) {
		if !said && busy.Load() == workers {
			said = true
			fmt.Println("ready")
		}
		if _, err := os.Stat(os.Args[1]); said && err == nil {
			break
		}
	}
	stop.Store(1)
	group.Wait()
	ok, total := true, uint64(0)
	for n := 0; n < workers; n++ {
		v := uint64(n)
		for r := uint64(0); r < rounds[n]; r++ {
			v = step(v)
		}
		ok = ok && v == value[n]
		total += rounds[n]
	}
	if !ok {
		fmt.Printf("done rounds=%d WRONG\n", total)
		os.Exit(1)
	}
	fmt.Printf("done rounds=%d ok\n", total)
}
