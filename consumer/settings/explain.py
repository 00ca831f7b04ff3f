"""What is wrong with a configuration, in words: place, field, value, and what is allowed there. No secret is quoted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from consumer.domain.errors import ConfigurationError
from consumer.settings.model import Configuration
from consumer.settings.origin import Origins
from consumer.settings.yaml_file import Location

_LONGEST_VALUE = 80
_WORDS = {
    "missing": "this field is required",
    "tuple_type": "a list is expected",
    "dict_type": "fields are expected here: name: value",
    "finite_number": "a finite number is expected",
}


def wrong_configuration(problems: Sequence[str]) -> ConfigurationError:
    """Return one error for all problems."""
    return ConfigurationError(
        "the configuration is wrong:\n  " + "\n  ".join(problems),
        remedy="correct the fields named above; docs/reference/configuration.md lists them all",
    )


def describe(origins: Origins, details: Iterable[ErrorDetails]) -> list[str]:
    """Return a sentence for each of pydantic's findings."""
    return [_sentence(origins, detail) for detail in details]


def sentence(origins: Origins, location: Location, value: object, problem: str) -> str:
    """Return the sentence about one value that is no secret."""
    field = ".".join(str(part) for part in location)
    return f"{origins.where(location)}: {field}, value {_short(value)}: {problem}"


def _sentence(origins: Origins, detail: ErrorDetails) -> str:
    location = tuple(detail["loc"])
    problem = _problem(detail, location)
    if _may_be_shown(location) and detail["type"] != "missing":
        return sentence(origins, location, detail["input"], problem)
    return f"{origins.where(location)}: {'.'.join(map(str, location)) or 'configuration'}: {problem}"


def _problem(detail: ErrorDetails, location: Location) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _no_such_field(location)
    if kind in {"model_type", "model_attributes_type"}:
        model = _model_at(location)
        fields = f"; its fields are: {', '.join(model.model_fields)}" if model is not None else ""
        return f"a section with fields is expected, not a {type(detail['input']).__name__}{fields}"
    if kind == "string_type" and isinstance(detail["input"], int | float):
        return "a text is expected: write it in quotes"
    return _WORDS.get(kind, detail["msg"].removeprefix("Value error, "))


def _no_such_field(location: Location) -> str:
    model = _model_at(location[:-1])
    allowed = list(model.model_fields) if model is not None else []
    close = get_close_matches(str(location[-1]), allowed, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return f"there is no such field{meant} The fields here are: {', '.join(allowed)}"


def _may_be_shown(location: Location) -> bool:
    """Only the value of a field that is known to hold no secret: a misspelt field may be a misspelt password."""
    field = _field_at(location)
    return field is not None and _model_of(field.annotation) is None and not _holds_secret(field.annotation)


def _field_at(location: Location) -> FieldInfo | None:
    model: type[BaseModel] | None = Configuration
    field: FieldInfo | None = None
    for part in location:
        if isinstance(part, int):
            continue
        if model is None or part not in model.model_fields:
            return None
        field = model.model_fields[part]
        model = _model_of(field.annotation)
    return field


def _model_at(location: Location) -> type[BaseModel] | None:
    if not location:
        return Configuration
    field = _field_at(location)
    return _model_of(field.annotation) if field is not None else None


def _model_of(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - an annotation is anything
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _holds_secret(annotation: Any) -> bool:  # noqa: ANN401 - an annotation is anything
    if annotation is SecretStr or dict in (annotation, _origin(annotation)):
        return True
    return any(_holds_secret(part) for part in get_args(annotation))


def _origin(annotation: Any) -> Any:  # noqa: ANN401 - an annotation is anything
    return getattr(annotation, "__origin__", None)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
