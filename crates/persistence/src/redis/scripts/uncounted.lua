-- What drops records without saying how many: they are counted anew when the run is taken next.
redis.call('HDEL', run, 'dropped')
