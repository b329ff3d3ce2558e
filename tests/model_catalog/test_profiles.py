"""Profiles: what ships is sound, what a person writes is read, and the account of needs adds up."""

from pathlib import Path

import pytest

from deployments.runners.routing import runner_of
from model_catalog import profiles
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from model_catalog.errors import ProfileError
from model_catalog.profiles import GB, SHIPPED, load, need, total
from model_catalog.share import Facts, account, ram
from model_catalog.tasks import TASKS

KNOWN = Catalog.shipped()
JARVIS_STANDARD = (
    "facebook/detr-resnet-50-panoptic",
    "google/owlvit-base-patch32",
    "Intel/dpt-large",
    "openai/whisper-base",
    "dandelin/vilt-b32-finetuned-vqa",
    "impira/layoutlm-document-qa",
)
"""Pipelines of HuggingGPT's standard deployment that the catalog has."""

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "profiles.md"


def _write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


# What ships ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_a_profile_that_ships_names_models_that_a_runner_serves_and_everybody_may_have(name: str) -> None:
    for card in load(name).cards(KNOWN):
        assert runner_of(card) is not None, card.id
        assert not card.gated, card.id
        assert not card.embedded, card.id


@pytest.mark.parametrize("name", ["minimal", "standard", "full"])
def test_the_size_of_every_repository_is_known(name: str) -> None:
    profile = load(name)
    needs = [need(card, profile.sizes) for card in profile.cards(KNOWN)]
    assert total(needs).unknown == ()
    repositories = {repository for one in needs for repository in one.repositories}
    assert set(profile.sizes) == repositories, "no size is missing, none is of something else"


def test_each_profile_holds_the_one_before() -> None:
    minimal, standard, full = (load(name) for name in ("minimal", "standard", "full"))
    assert set(minimal.models) < set(standard.models) < set(full.models)
    assert len(set(full.models)) == len(full.models)
    assert load("embedded").models == ()


def test_standard_is_that_of_hugginggpt() -> None:
    standard = load("standard")
    assert set(JARVIS_STANDARD) <= set(standard.models)
    tasks = {
        task
        for card in (*standard.cards(KNOWN), *KNOWN)
        if card in standard.cards(KNOWN)
        for task in card.tasks
    }
    drawn = {name for name in TASKS if name.endswith(("-control", "-text-to-image"))}
    assert drawn - tasks == {"canny-control"}, "which an embedded expert does"


def test_full_serves_every_task_type() -> None:
    cards = [*load("full").cards(KNOWN), *(card for card in KNOWN if card.embedded)]
    assert {task for card in cards for task in card.tasks} == set(TASKS)


def test_minimal_fits_a_laptop_and_standard_one_gpu() -> None:
    for name, disk, gpu, memory in (("minimal", 10, 6, 8), ("standard", 80, 16, 32), ("full", 400, 32, 64)):
        profile = load(name)
        needs = total([need(card, profile.sizes) for card in profile.cards(KNOWN)])
        assert needs.disk < disk * GB
        assert needs.gpu_largest < gpu * GB
        assert needs.ram_largest < memory * GB
        assert needs.gpu_all > needs.gpu_largest


def test_remote_runs_elsewhere() -> None:
    assert load("remote").inference_mode == "huggingface"
    assert {load(name).inference_mode for name in SHIPPED if name != "remote"} == {None}


# The account ---------------------------------------------------------------------------------------------


def test_a_shared_part_is_counted_once() -> None:
    base = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    sizes: dict[str, profiles.Size] = {base: {"F32": 5.0}, "a/canny": {"F32": 1.0}, "a/depth": {"F32": 1.0}}
    cards = [
        ModelCard(id=f"a/{name}", tasks=(f"{name}-text-to-image",), library="diffusers", parts={"base": base})
        for name in ("canny", "depth")
    ]
    needs = [need(card, sizes) for card in cards]
    assert [one.disk for one in needs] == [6 * GB, 6 * GB]
    assert total(needs).disk == 7 * GB
    assert total([*needs, need(KNOWN.get(base), sizes)]).disk == 7 * GB


def test_memory_is_that_of_the_account_by_the_types_of_the_sizes() -> None:
    card = ModelCard(id="a/b", tasks=("summarization",), library="transformers")
    single, half = need(card, {"a/b": {"F32": 4.0}}), need(card, {"a/b": {"F16": 2.0}})
    facts = Facts(weights={"F32": GB})
    assert single.gpu == account(card, facts).total
    assert single.ram == ram(card, facts)
    assert (half.gpu, half.ram) == (single.gpu, single.ram), "as many numbers"
    assert (single.disk, half.disk) == (4 * GB, 2 * GB)


def test_what_nothing_tells_is_said_to_be_unknown() -> None:
    card = ModelCard(id="a/b", tasks=("summarization",), library="transformers")
    one = need(card)
    assert (one.disk, one.gpu, one.ram) == (None, None, None)
    assert total([one, need(KNOWN.get("embedded/canny"))]).unknown == ("a/b",)


@pytest.mark.parametrize(
    ("facts", "disk"),
    [
        ({"weights": {"F32": 100, "BF16": 100}}, 600),
        ({"params": 100}, 400),
        ({"params": 100, "repo_bytes": 250}, 250),
        ({"params": 100, "library": "diffusers"}, None),
        ({"repo_bytes": 900, "library": "diffusers"}, 900),
    ],
)
def test_the_disk_of_a_model_that_no_profile_has(facts: dict[str, object], disk: int | None) -> None:
    content = {"id": "a/b", "tasks": ["text-to-image"], "library": "transformers"} | facts
    assert need(ModelCard.model_validate(content)).disk == disk


def test_embedded_experts_need_nothing() -> None:
    one = need(KNOWN.get("embedded/rapidocr"))
    assert (one.disk, one.gpu, one.ram) == (0, 0, 0)


# Files of one's own --------------------------------------------------------------------------------------


def test_a_file_of_ones_own_includes_others_beside_it(tmp_path: Path) -> None:
    _write(tmp_path, "speech.toml", 'models = ["openai/whisper-base"]\n')
    own = _write(
        tmp_path,
        "mine.toml",
        'includes = ["speech.toml", "minimal"]\nmodels = ["facebook/bart-large-cnn"]\n'
        '[sizes]\n"facebook/bart-large-cnn" = { F32 = 1.6 }\n',
    )
    profile = load(own)
    assert profile.models[0] == "openai/whisper-base"
    assert profile.models[-1] == "facebook/bart-large-cnn"
    assert profile.models.count("openai/whisper-base") == 1
    assert set(load("minimal").models) < set(profile.models)
    assert profile.sizes["openai/whisper-base"] == {"F32": 0.29}
    assert profile.sizes["facebook/bart-large-cnn"] == {"F32": 1.6}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models = [", "no valid TOML"),
        ('models = ["whisper"]', "'models.0'"),
        ('model = ["a/b"]', "a profile has no 'model'"),
        ('inference_mode = "cloud"', "'inference_mode'"),
        ('[sizes]\n"a/b" = { F31 = 1.0 }', "'sizes.a/b.F31"),
        ('includes = ["mine.toml"]', "includes itself"),
        ('includes = ["absent.toml"]', "cannot be read"),
        ('includes = ["huge"]', "There is no profile 'huge'; take one of embedded, minimal"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ProfileError) as caught:
        load(_write(tmp_path, "mine.toml", text))
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_a_model_that_the_catalog_lacks_is_named(tmp_path: Path) -> None:
    profile = load(_write(tmp_path, "mine.toml", 'models = ["a/b", "openai/whisper-base"]'))
    with pytest.raises(ProfileError, match="names a/b, which the catalog does not have"):
        profile.cards(KNOWN)


# The documentation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["minimal", "standard", "full"])
def test_the_documentation_has_the_figures(name: str) -> None:
    profile = load(name)
    cards = profile.cards(KNOWN)
    needs = total([need(card, profile.sizes) for card in cards])
    tasks = {task for card in (*cards, *KNOWN) if card.embedded or card in cards for task in card.tasks}
    (row,) = [
        line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{name}` |")
    ]
    _, _, _, models, types, *sizes, _ = (cell.strip() for cell in row.split("|"))
    assert int(models.split()[0]) == len(cards)
    assert int(types.split(",")[0]) == len(tasks)
    told = [float(cell.removesuffix(" GB")) for cell in sizes]
    assert told == pytest.approx(
        [part / GB for part in (needs.disk, needs.gpu_largest, needs.ram_largest)], rel=0.05
    )
