$| = 1; srand(13);
my %seen;
for my $i (0..120000) {
    my $word = join "", map { chr(97 + int rand 26) } 1..(3 + int rand 8);
    push @{$seen{$word}}, $i, rand();
}
print "ready\n";
<STDIN>;
