"""Ray Serve, one replica, JSON by orjson instead of its own conversion. Words: port, folder for Ray."""

import sys
import time
from pathlib import Path

import orjson
import ray
from ray import serve
from starlette.responses import Response

sys.path.insert(0, str(Path(__file__).parent))


@serve.deployment(num_replicas=1, max_ongoing_requests=100, ray_actor_options={"num_cpus": 0})
class Network:
    """The network."""

    def __init__(self, here):
        sys.path.insert(0, here)
        import model

        self.model = model

    async def __call__(self, request):
        """JSON to JSON."""
        found = self.model.run(self.model.tensor(orjson.loads(await request.body())))
        return Response(orjson.dumps(self.model.answer(found)), media_type="application/json")


if __name__ == "__main__":
    port, folder = int(sys.argv[1]), sys.argv[2]
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        _temp_dir=folder,
        object_store_memory=100 * 2**20,
        logging_level="ERROR",
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    here = str(Path(__file__).parent)
    serve.run(Network.bind(here), route_prefix="/infer")
    while True:
        time.sleep(3600)
