-- wrk script: GETs of BASE followed by 1, 2, ..., COUNT, each as likely as the others.
-- Environment: BASE (a path, or one with the beginning of a query), COUNT.

function init(_)
    math.randomseed(os.time())
    base, count = os.getenv("BASE"), tonumber(os.getenv("COUNT"))
end

function request()
    return wrk.format("GET", base .. math.random(count))
end
