# sched:example hist:keys=off.buckets=10:vals=hitcount:sort=hitcount:size=2048 [active]

     off hitcount
 -16..-7        4 ###
  -6..-1        0
    0..9        3 ##
  10..19        0
  20..29        0
  30..39       60 #####################################################
     ... (95 empty rows)
990..999        5 ####
p50 ~34  p90 ~39  p99 ~999  (estimated: interpolated within buckets)
