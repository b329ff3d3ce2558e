"""Answers from tables, by choosing cells (TAPAS, arXiv 2004.02349) or writing (TAPEX, arXiv 2107.07653)."""

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

from deployments.errors import InputError
from deployments.media import Table
from deployments.result import Input, Result
from deployments.runners.single import text_of
from deployments.runners.textual import TextRunner

_NONE = "The table holds no answer to this question."
_CELL = 15  # tokens of a cell that TAPEX was trained on
_LONGEST = 256  # tokens of a written answer
_NUMBERS = {"SUM": sum, "AVERAGE": lambda numbers: sum(numbers) / len(numbers)}


class TableAnswerer(TextRunner):
    """Answers a question from a table, which must fit into the model whole."""

    requires: ClassVar[tuple[str, ...]] = ("pandas",)

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        config = self.load_processor(transformers.AutoConfig)
        self._chooses = config.model_type == "tapas"
        if self._chooses:
            self.open_as(transformers.AutoModelForTableQuestionAnswering, transformers.TapasTokenizer)
            return
        # TAPEX's own tokenizer is BART's, and a way to write a table as text.
        bart = transformers.BartTokenizer if config.model_type == "bart" else None
        self.open_as(transformers.AutoModelForSeq2SeqLM, bart)
        self._lower = bool(self.tokenizer.init_kwargs.get("do_lower_case", True))

    def key(self, item: Input) -> Hashable:
        """Tables of about the same size share a batch."""
        table = item.args.get("table")
        cells = len(table.rows) * len(table.columns) if isinstance(table, Table) else 0
        return super().key(item), cells.bit_length()

    def ready(self, item: Input) -> tuple[Table, str, Any]:
        """Table and question, and both in tokens.

        Raises:
            InputError: one lacks, or the table is too large.

        """
        table = item.args.get("table")
        if not isinstance(table, Table) or not table.rows or not table.columns:
            raise InputError(f"{item.task} needs a table with rows under 'table'; attach one as CSV.")
        question = text_of(item).strip()
        return table, question, self._cells(table, question) if self._chooses else self._line(table, question)

    def infer(self, items: Sequence[tuple[Table, str, Any]]) -> list[Result]:
        """The answers, with the cells they come from where the model tells."""
        return self._chosen(items) if self._chooses else self._written(items)

    # TAPAS: every token of a cell is told its row and column, and the model chooses cells ----------------

    def _cells(self, table: Table, question: str) -> dict[str, Any]:
        import pandas

        frame = pandas.DataFrame(list(table.rows), columns=list(table.columns), dtype=object)
        try:
            encoded = self.tokenizer(table=frame, queries=question, truncation="drop_rows_to_fit")
        except ValueError as error:
            raise self._too_large(table, 0) from error
        read = max((token[2] for token in encoded["token_type_ids"]), default=0)
        if read < len(table.rows):
            raise self._too_large(table, read)
        return {name: encoded[name] for name in self.tokenizer.model_input_names}

    def _chosen(self, items: Sequence[tuple[Table, str, Any]]) -> list[Result]:
        import torch

        longest = max(len(encoded["input_ids"]) for _, _, encoded in items)
        batch = {
            name: torch.stack([_padded(encoded[name], longest) for _, _, encoded in items])
            for name in items[0][2]
        }
        outputs = list(self.forward(batch))
        logits = torch.cat([output.logits.float().cpu() for output in outputs])
        if outputs[0].logits_aggregation is None:
            (cells,) = self.tokenizer.convert_logits_to_predictions(batch, logits)
            how: Sequence[int] = [0] * len(items)
        else:
            whole = torch.cat([output.logits_aggregation.float().cpu() for output in outputs])
            cells, how = self.tokenizer.convert_logits_to_predictions(batch, logits, whole)
        names = getattr(self.model.config, "aggregation_labels", None) or {}
        return [
            _counted(table, places, str(names.get(int(number), "NONE")))
            for (table, _, _), places, number in zip(items, cells, how, strict=True)
        ]

    # TAPEX: question and table are one text, and the model writes the answer -----------------------------

    def _line(self, table: Table, question: str) -> str:
        text = f"{question} {_flat(table, self._short)}"
        text = text.lower() if self._lower else text
        tokens = self.count(text)
        if tokens > self.limit:
            raise self._too_large(table, len(table.rows) * self.limit // tokens)
        return text

    def _short(self, cell: str) -> str:
        """A cell, cut to as many tokens as cells had in training."""
        if len(cell) <= _CELL:
            return cell
        ids = self.tokenizer(cell, add_special_tokens=False)["input_ids"]
        return cell if len(ids) <= _CELL else str(self.tokenizer.decode(ids[:_CELL])).strip()

    def _written(self, items: Sequence[tuple[Table, str, Any]]) -> list[Result]:
        encoded = self.tokenizer([text for _, _, text in items], padding=True, return_tensors="pt")
        config = self.model.generation_config
        longest = min(config.max_new_tokens or config.max_length or _LONGEST, _LONGEST, self.limit - 1)
        written = self.model.generate(**self.inputs(encoded), max_new_tokens=longest)
        answers = (text.strip() for text in self.tokenizer.batch_decode(written, skip_special_tokens=True))
        return [Result(text=answer or _NONE, data={"answer": answer}) for answer in answers]

    def _too_large(self, table: Table, rows: int) -> InputError:
        return InputError(
            f"The table is too large for {self.card.id}: of its {len(table.rows)} rows about {rows} fit; "
            "give it fewer rows or columns."
        )


def _padded(rows: Sequence[Any], length: int) -> Any:
    import torch

    values = torch.tensor(rows)
    padding = values.new_zeros((length - len(values), *values.shape[1:]))
    return torch.cat([values, padding])


def _flat(table: Table, short: Any) -> str:
    """A table as TAPEX reads it: ``col : a | b row 1 : x | y``."""
    rows = [f"row {number} : {' | '.join(map(short, row))}" for number, row in enumerate(table.rows, 1)]
    return " ".join([f"col : {' | '.join(table.columns)}", *rows])


def _counted(table: Table, places: Sequence[tuple[int, int]], how: str) -> Result:
    """The answer that chosen cells give: themselves, their number, sum or mean."""
    places = sorted({(int(row), int(column)) for row, column in places})
    cells = [table.rows[row][column] for row, column in places]
    data: dict[str, Any] = {"answer": ", ".join(cells), "cells": cells, "coordinates": [*map(list, places)]}
    if not cells:
        return Result(text=_NONE, data={**data, "aggregator": "NONE"})
    numbers = [_number(cell) for cell in cells]
    if how == "COUNT":
        data["answer"] = str(len(cells))
    elif how in _NUMBERS and None not in numbers:
        data["answer"] = f"{_NUMBERS[how](numbers):.10g}"
    else:
        how = "NONE"
    data["aggregator"] = how
    words = {"COUNT": "the number", "SUM": "the sum", "AVERAGE": "the average"}
    told = f" ({words[how]} of {', '.join(cells)})" if how in words else ""
    return Result(text=data["answer"] + told, data=data)


def _number(cell: str) -> float | None:
    """A cell's number: ``1,234.5``, ``$12`` and ``40%`` are numbers, too."""
    try:
        return float(cell.strip().strip("$€£%").replace(",", ""))
    except ValueError:
        return None
