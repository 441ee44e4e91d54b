# sched:example hist:keys=usecs.log2,dev:vals=hitcount:sort=hitcount:size=2048 [active]

dev: sda
 usecs hitcount
  0..1        1 #
  2..2        0
  3..4        0
  5..8      200 ###########################
 9..16      400 #######################################################
17..32        0
33..64       70 #########
p50 ~11  p90 ~34  p99 ~61  (estimated: interpolated within buckets)

dev: sdb
     usecs hitcount
2049..4096        2 ###################################################
p50 ~3073  p90 ~4096  p99 ~4096  (estimated: interpolated within buckets)
