-- wrk script: GETs of one path with ?n=1, ?n=2, ..., ?n=COUNT, each as likely as the others.
-- Environment: BASE (the path), COUNT.

function init(_)
    math.randomseed(os.time())
    base, count = os.getenv("BASE"), tonumber(os.getenv("COUNT"))
end

function request()
    return wrk.format("GET", base .. "?n=" .. math.random(count))
end
