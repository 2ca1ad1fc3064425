import numpy as np
from threadpoolctl import threadpool_limits

from troupe.fleet.workers import LocalWorkers
from troupe.policies import MlpPolicy


def test_wide_layers_round_the_same_on_any_number_of_threads(small):
    rng = np.random.default_rng(0)
    sizes = [(15, 1024), (1024, 1024), (1024, 3)]
    layers = {f"actor.{i}.weight": rng.standard_normal(s) / 30 for i, s in enumerate(sizes)}
    layers |= {f"actor.{i}.bias": np.zeros(s[1]) for i, s in enumerate(sizes)}
    parameters = {name: values.astype(np.float32) for name, values in layers.items()}
    parameters["log_std"] = np.zeros(3, np.float32)
    policy = MlpPolicy(parameters, np.zeros(15, np.float32), np.ones(15, np.float32))
    actions = []
    for num_threads in (1, 2):
        with threadpool_limits(num_threads):
            workers = LocalWorkers(small())
            workers.start(policy.noise_size)
            actions.append(workers.sample(policy, 5).fragment.action)
            workers.close()
    np.testing.assert_array_equal(*actions)
