# sched:example hist:keys=ret.log2,dfd.hex:vals=hitcount,ret:sort=hitcount:size=2048 [active]

dfd: 3
ret hitcount
< 0        1 ##########################################################

dfd: ffffff9c
       ret hitcount
       < 0       10 ###################################################
      0..1        3 ###############
       ... (11 empty rows)
2049..4096        7 ###################################
p50 ~2634  p90 ~3804  p99 ~4096  (of what is not negative; estimated: interpolated within buckets)
