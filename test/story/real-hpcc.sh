# SPDX-License-Identifier: MIT
# HPC Challenge, four ranks: killed and restarted between its random accesses,
# and while HPL solves. It checks what it has computed by itself.
# needs: hpcc mpiexec.openmpi
# timeout: 300
# Small, but several times HPL, or that would be over before we come.
sed -e 's/^1000 .*Ns$/600 Ns/' \
	-e 's/^1 .*# of panel fact$/3/' -e 's/^2 .*PFACTs .*/0 1 2/' \
	-e 's/^1 .*# of recursive stop.*/3/' -e 's/^4 .*NBMINs .*/2 4 8/' \
	/usr/share/doc/hpcc/examples/_hpccinf.txt >hpccinf.txt ||
	skip "hpcc comes without its example"
launch mpiexec.openmpi --oversubscribe -n 4 hpcc
for section in MPIRandomAccess HPL; do
	await_line hpccoutf.txt "^Begin of $section section"
	checkpoint
	kill_all
	restart
	await_running
done
expect_exit 0
expect_file hpccoutf.txt '^Success=1'
expect_file hpccoutf.txt ' 9 tests completed and passed residual checks'
check [ "$(grep -c 'Found 0 errors in .*passed' hpccoutf.txt)" -eq 4 ]
