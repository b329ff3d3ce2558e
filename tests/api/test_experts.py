import pytest

from controller.selector import Fleet
from tests.api.doors import doors
from tests.support.dispatching import A, B
from tests.support.stage import Stage


def stage() -> Stage:
    made = Stage()
    made.cluster.fleet = Fleet(frozenset({A.id}))
    made.controller.selector.see(made.cluster.fleet)
    return made


async def test_experts_are_listed() -> None:
    async with doors(stage()) as http:
        found = (await http.get("/v1/experts")).json()
    assert found["object"] == "list"
    assert [(row["model"], row["state"]) for row in found["data"]] == [(A.id, "warm")]


async def test_a_model_of_the_catalog_is_taken_in_and_let_go() -> None:
    async with doors(stage()) as http:
        added = await http.post("/v1/experts", json={"model": B.id})
        assert added.json()["model"] == B.id
        assert len((await http.get("/v1/experts")).json()["data"]) == 2
        assert (await http.delete(f"/v1/experts/{B.id}")).json() == {"model": B.id, "deleted": True}
        assert len((await http.get("/v1/experts")).json()["data"]) == 1


async def test_a_model_that_nobody_knows_is_not_taken_in() -> None:
    async with doors(stage()) as http:
        answer = await http.post("/v1/experts", json={"model": "no/such"})
    assert answer.status_code == 404
    assert "no/such" in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [{}, {"model": 7}, {"model": A.id, "more": 1}, []])
async def test_what_names_no_model_is_refused(body: object) -> None:
    async with doors(stage()) as http:
        assert (await http.post("/v1/experts", json=body)).status_code == 400


@pytest.mark.parametrize("action", ["wake", "sleep", "pin", "unpin"])
async def test_an_expert_is_steered(action: str) -> None:
    async with doors(stage()) as http:
        assert (await http.post(f"/v1/experts/{A.id}/{action}")).json()["model"] == A.id
        refused = await http.post(f"/v1/experts/{B.id}/{action}")
    assert refused.status_code == 404
    assert "not of the fleet" in refused.json()["error"]["message"]


async def test_there_is_no_other_action() -> None:
    async with doors(stage()) as http:
        assert (await http.post(f"/v1/experts/{A.id}/explode")).status_code in (400, 404, 422)
