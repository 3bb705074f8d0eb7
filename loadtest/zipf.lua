-- wrk script: GETs from a list of URLs whose popularity follows Zipf's law, the first line being the most popular.
-- Environment: URLS (a file, one path or URL a line), ZIPF (the exponent; 1.0).

local threads = 0

function setup(thread)
    threads = threads + 1
    thread:set("seed", threads)
end

function init(_)
    math.randomseed(seed)
    paths, cumulative, total = {}, {}, 0
    local exponent = tonumber(os.getenv("ZIPF") or "1.0")
    local list = assert(os.getenv("URLS"), "URLS is not set")
    for line in io.lines(list) do
        local path = line:gsub("%s+$", ""):gsub("^https?://[^/]+", "")
        if path:sub(1, 1) == "/" then
            paths[#paths + 1] = path
            total = total + 1 / (#paths) ^ exponent
            cumulative[#paths] = total
        end
    end
    assert(#paths > 0, "no URL in the list")
end

-- The first rank whose cumulative weight exceeds the point.
local function pick()
    local point, low, high = math.random() * total, 1, #paths
    while low < high do
        local middle = math.floor((low + high) / 2)
        if cumulative[middle] > point then high = middle else low = middle + 1 end
    end
    return low
end

function request()
    return wrk.format("GET", paths[pick()])
end
