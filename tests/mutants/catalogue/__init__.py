"""The protections, by what they protect."""

from __future__ import annotations

from tests.mutants.catalogue.announcing import ANNOUNCING
from tests.mutants.catalogue.delivery import DELIVERY, REFUSALS
from tests.mutants.catalogue.doors import DOORS
from tests.mutants.catalogue.generations import GENERATIONS
from tests.mutants.catalogue.reading import READING
from tests.mutants.catalogue.versions import VERSIONS

MUTANTS = (*VERSIONS, *ANNOUNCING, *DELIVERY, *REFUSALS, *READING, *DOORS, *GENERATIONS)
