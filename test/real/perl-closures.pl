# SPDX-License-Identifier: MIT
# Closures, a large hash, regular expressions and a file being read line by
# line, in rounds until the gate file exists; then all again from nothing.
use strict;
use warnings;

my ($gate, $folder) = @ARGV;
$| = 1;

sub maker {
	my ($seed) = @_;
	my ($value, %table) = ($seed);
	return sub {
		for my $step (1 .. 500) {
			$value = ($value * 1103515245 + 12345 + $step) % 2147483648;
			$table{$value % 20011} .= chr(97 + $value % 26);
			$table{$value % 20011} =~ s/(.)\1/$1/g;
		}
		return $value . ':' . scalar(keys %table);
	};
}

my $path = "$folder/lines";
open(my $out, '>', $path) or die "$path: $!";
print $out "line $_\n" for 1 .. 100000;
close($out);
open(my $in, '<', $path) or die "$path: $!";

my $worker = maker(42);
my ($rounds, $last, $line) = (0, '', 0);
while (!-e $gate || $rounds < 20) {
	$last = $worker->();
	$rounds++;
	if (defined(my $text = <$in>)) {
		$line++;
		die "WRONG: line $line is $text" unless $text eq "line $line\n";
	}
	print "ready\n" if $rounds == 10;
}
my $again = maker(42);
my $expect;
$expect = $again->() for 1 .. $rounds;
my $ok = $expect eq $last;
print "done rounds=$rounds ", ($ok ? "ok" : "WRONG: $expect $last"), "\n";
exit($ok ? 0 : 1);
