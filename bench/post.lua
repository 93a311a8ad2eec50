-- Posts one fixed body and prints what wrk measured as "bench.<name> <number>" lines.
-- wrk builds the request once after init(); without a request() of our own, it sends it again from C.
-- Usage: wrk ... -s post.lua URL -- BODY_FILE

function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  wrk.headers["Content-Type"] = "application/json"
  file:close()
end

function done(summary, latency, requests)
  local function say(name, value)
    io.write(string.format("bench.%s %.0f\n", name, value))
  end
  say("requests", summary.requests)
  say("duration_us", summary.duration)
  say("bytes", summary.bytes)
  say("errors_connect", summary.errors.connect)
  say("errors_read", summary.errors.read)
  say("errors_write", summary.errors.write)
  say("errors_status", summary.errors.status)
  say("errors_timeout", summary.errors.timeout)
  say("latency_p50_us", latency:percentile(50))
  say("latency_p99_us", latency:percentile(99))
  say("latency_mean_us", latency.mean)
  say("latency_max_us", latency.max)
end
