"""Errors of this library, part of the one tree in `chassis.errors`.

FailedPrecondition
├── ModelNotFound        there is no such model directory, or it lacks a file
├── UnsupportedModel     the model is there and is of a kind this engine can't run
└── WeightsMismatch      the weights are not the ones that were pinned
"""

from chassis.errors import FailedPrecondition


class ModelNotFound(FailedPrecondition):
    """There is no such model here, or a file of it is missing."""

    default_reason = "MODEL_NOT_FOUND"


class UnsupportedModel(FailedPrecondition):
    """The model is of a kind that this engine can't run."""

    default_reason = "UNSUPPORTED_MODEL"


class WeightsMismatch(FailedPrecondition):
    """The sha256 of the weights differs from the pinned one: the file is damaged or was replaced."""

    default_reason = "WEIGHTS_MISMATCH"
