"""How far a tool ends from where it should; docs/derivations.md, Accuracy and repeatability."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array

MM_PER_M = 1000.0


def accuracy(errors_m: npt.ArrayLike) -> dict[str, float]:
    """Return the distribution of final errors, in mm.

    Args:
        errors_m: distance of the tool from its target at the end of each episode, (n,), n ≥ 1.

    Returns:
        Mean, median, 95th and 99th percentile (linear between ranks) and maximum.
    """
    errors_mm = np.asarray(errors_m, np.float64) * MM_PER_M
    assert errors_mm.ndim == 1
    assert errors_mm.size
    return {
        "mean": float(np.mean(errors_mm)),
        "median": float(np.median(errors_mm)),
        "p95": float(np.percentile(errors_mm, 95)),
        "p99": float(np.percentile(errors_mm, 99)),
        "max": float(np.max(errors_mm)),
    }


def paper_accuracy_mm(positions_m: npt.ArrayLike, target_m: npt.ArrayLike) -> float:
    """Return the root mean square error of final positions, √(1/n · Σ ‖p_j − g‖²), in mm.

    robot_gym (Mayoral Vilches et al. 2018) takes n = 10 runs.

    Args:
        positions_m: final tool positions of n runs with one target, (n, 3).
        target_m: that target, (3,).
    """
    return _root_mean_square(_distances_mm(positions_m, np.asarray(target_m, np.float64)))


def repeatability_mm(positions_m: npt.ArrayLike) -> float:
    """Return the root mean square distance from the mean position, √(1/n · Σ ‖p_j − p̄‖²), in mm.

    robot_gym (Mayoral Vilches et al. 2018) takes n = 10 runs.

    Args:
        positions_m: final tool positions of n runs with one target, (n, 3).
    """
    return _root_mean_square(_distances_mm(positions_m, _barycentre(positions_m)))


def pose_accuracy_mm(positions_m: npt.ArrayLike, command_m: npt.ArrayLike) -> float:
    """Return AP = ‖p̄ − p_c‖ after ISO 9283, in mm.

    Args:
        positions_m: attained positions, (n, 3).
        command_m: the commanded one, (3,).
    """
    command = np.asarray(command_m, np.float64)
    return float(np.linalg.norm(_barycentre(positions_m) - command)) * MM_PER_M


def pose_repeatability_mm(positions_m: npt.ArrayLike) -> float:
    """Return RP = l̄ + 3·S_l with l_j = ‖p_j − p̄‖ after ISO 9283, in mm.

    Args:
        positions_m: attained positions, (n, 3), n ≥ 2: S_l is the n − 1 standard deviation.
    """
    distances_mm = _distances_mm(positions_m, _barycentre(positions_m))
    assert len(distances_mm) > 1
    return float(np.mean(distances_mm) + 3.0 * np.std(distances_mm, ddof=1))


def _barycentre(positions_m: npt.ArrayLike) -> Array:
    positions = np.asarray(positions_m, np.float64)
    assert positions.ndim == 2
    assert positions.shape[1] == 3
    mean: Array = positions.mean(axis=0)
    return mean


def _distances_mm(positions_m: npt.ArrayLike, from_m: Array) -> Array:
    away: Array = np.asarray(positions_m, np.float64) - from_m
    distances: Array = np.linalg.norm(away, axis=1) * MM_PER_M
    return distances


def _root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))
