# Run by `rialto bench compare`: the same tiny tasks on Ray or on Dask, one worker process a core.
# Arguments: which, tasks, cores. Prints one line of JSON.
import json, sys, time

which, tasks, cores = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def square(n):
    # What examples/tiny does: a number in eight bytes, its square modulo 2^64 in eight bytes.
    value = int.from_bytes(n, "little")
    return ((value * value) % (1 << 64)).to_bytes(8, "little")


inputs = [n.to_bytes(8, "little") for n in range(tasks)]


def with_ray():
    import ray

    ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level="error")
    remote = ray.remote(square)
    ray.get([remote.remote(n) for n in inputs[:1000]])  # workers are up
    started = time.perf_counter()
    results = ray.get([remote.remote(n) for n in inputs])
    seconds = time.perf_counter() - started
    latencies = []
    for n in inputs[:200]:
        began = time.perf_counter()
        ray.get(remote.remote(n))
        latencies.append(time.perf_counter() - began)
    ray.shutdown()
    return ray.__version__, results, seconds, latencies


def with_dask():
    import dask
    from distributed import Client, LocalCluster

    dask.config.set({"distributed.worker.daemon": True})
    cluster = LocalCluster(n_workers=cores, threads_per_worker=1, dashboard_address=None, silence_logs=50)
    client = Client(cluster)
    client.gather(client.map(square, inputs[:1000], pure=False))  # workers are up
    started = time.perf_counter()
    results = client.gather(client.map(square, inputs, pure=False))
    seconds = time.perf_counter() - started
    latencies = []
    for n in inputs[:200]:
        began = time.perf_counter()
        client.submit(square, n, pure=False).result()
        latencies.append(time.perf_counter() - began)
    client.close()
    cluster.close()
    return dask.__version__, results, seconds, latencies


if __name__ == "__main__":
    version, results, seconds, latencies = {"ray": with_ray, "dask": with_dask}[which]()
    assert results == [square(n) for n in inputs], "wrong results"
    latencies.sort()
    print(json.dumps({
        "version": version,
        "seconds": seconds,
        "latency_p50_micros": latencies[len(latencies) // 2] * 1e6,
        "latency_p99_micros": latencies[len(latencies) * 99 // 100] * 1e6,
    }))
