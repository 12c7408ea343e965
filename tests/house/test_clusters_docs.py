"""docs/clusters.md: what it says is run as far as it can be without a batch system and without Kubernetes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import xprep
from tests import paths
from tests.helpers.buckets import NOT_INSTALLED
from xprep.sizes import parse_bytes

DOCS = paths.ROOT / "docs" / "clusters.md"


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def settings() -> dict[str, Any]:
    """The arguments of SLURMCluster, as the page gives them."""
    found = re.search(r"SLURMCluster\((.*?)\n    \)\n", block("python"), re.DOTALL)
    assert found is not None
    given: dict[str, Any] = eval(f"dict({found[1]})", {"__builtins__": {"dict": dict}})
    return given


def test_the_page_is_a_program() -> None:
    compile(block("python"), "clusters.md", "exec")
    assert {"queue", "cores", "memory", "walltime", "local_directory"} <= set(settings())


@pytest.mark.emulators
@pytest.mark.filterwarnings("ignore")
def test_the_script_for_slurm() -> None:
    jobqueue = pytest.importorskip("dask_jobqueue", reason=NOT_INSTALLED.format("dask-jobqueue"))
    with jobqueue.SLURMCluster(**settings(), n_workers=0, scheduler_options={"dashboard_address": ":0"}) as cluster:
        script = cluster.job_script()
    for line in ("#SBATCH -p normal", "#SBATCH --cpus-per-task=8", "#SBATCH --mem=60G", "#SBATCH -t 04:00:00"):
        assert line in script
    for words in ("export OMP_NUM_THREADS=1", "--nthreads 4", "--nworkers 2", "--lifetime 225m", "--local-directory $TMPDIR"):
        assert words in script


@pytest.mark.emulators
@pytest.mark.filterwarnings("ignore")
def test_a_job_queue_gives_the_same_bits(tmp_path: Path) -> None:
    """A batch system of this machine alone, by the same package: its workers are jobs, begun by a script."""
    jobqueue = pytest.importorskip("dask_jobqueue.local", reason=NOT_INSTALLED.format("dask-jobqueue"))
    from distributed import Client

    source, target = tmp_path / "in.zarr", tmp_path / "out.zarr"
    xprep.datasets.blobs(channels=2, shape=(96, 96)).prep.to_ome_zarr(source, chunks={"y": 32, "x": 32})
    recipe = {"inputs": str(source), "steps": [{"normalize": {"sigma": 1}}], "output": str(target)}
    how = {"cores": 1, "processes": 1, "memory": "1GB", "walltime": None, "local_directory": str(tmp_path)}
    with jobqueue.LocalCluster(**how, scheduler_options={"dashboard_address": ":0"}) as cluster:
        cluster.scale(jobs=1)
        with Client(cluster) as client:
            client.wait_for_workers(1, timeout=600)
            assert xprep.run(recipe, progress=False).ok
    np.testing.assert_array_equal(xprep.open_image(target), xprep.open_image(source).prep.normalize(sigma=1))


def test_the_manifest_for_kubernetes() -> None:
    found = yaml.safe_load(block("yaml"))
    assert found["kind"] == "DaskCluster"
    (worker,) = found["spec"]["worker"]["spec"]["containers"]
    (scheduler,) = found["spec"]["scheduler"]["spec"]["containers"]
    limit = worker["args"][worker["args"].index("--memory-limit") + 1]
    assert parse_bytes(limit) < parse_bytes(worker["resources"]["limits"]["memory"] + "B")
    mounted = {volume["mountPath"] for volume in worker["volumeMounts"]}
    assert worker["args"][worker["args"].index("--local-directory") + 1] in mounted
    assert {one["name"] for one in worker["volumeMounts"]} == {one["name"] for one in found["spec"]["worker"]["spec"]["volumes"]}
    ports = {port["name"]: port["containerPort"] for port in scheduler["ports"]}
    for port in found["spec"]["scheduler"]["service"]["ports"]:
        assert ports[port["targetPort"]] == port["port"]
    assert found["spec"]["scheduler"]["service"]["selector"]["dask.org/cluster-name"] == found["metadata"]["name"]


@pytest.mark.emulators
@pytest.mark.filterwarnings("ignore")
def test_the_manifest_has_the_parts_that_the_operator_makes() -> None:
    operator = pytest.importorskip("dask_kubernetes.operator", reason=NOT_INSTALLED.format("dask-kubernetes"))
    found, made = yaml.safe_load(block("yaml")), operator.make_cluster_spec(name="xprep", image="x", n_workers=4)
    assert found["apiVersion"] == made["apiVersion"]
    parts = ("worker.replicas", "worker.spec.containers.args", "scheduler.spec.containers.args", "scheduler.service.ports.port")
    selector = {name for name in keys(made["spec"]) if name.startswith("scheduler.service.selector")}
    wanted = {*parts, *selector, "scheduler.spec.containers.readinessProbe.httpGet.path"}
    assert wanted <= keys(made["spec"])
    assert wanted <= keys(found["spec"])


def keys(value: Any, prefix: str = "") -> set[str]:
    """The paths of all mappings' keys."""
    if isinstance(value, list):
        return {name for item in value for name in keys(item, prefix)}
    if not isinstance(value, dict):
        return set()
    own = {f"{prefix}.{key}".lstrip(".") for key in value}
    return own.union(*(keys(item, f"{prefix}.{key}".lstrip(".")) for key, item in value.items()))
