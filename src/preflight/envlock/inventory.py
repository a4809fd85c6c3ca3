"""All that is installed in one environment, by conda and by pip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from preflight.envlock import distributions
from preflight.envlock.environment import Environment, platform_here
from preflight.envlock.model import Package
from preflight.envlock.records import Record, platform_of, read_records
from preflight.system.packages import Distribution, Installed


@dataclass(frozen=True)
class Inventory:
    """What was found in an environment: conda's records, what pip installed, and all that has metadata."""

    environment: Environment
    records: Sequence[Record]
    distributions: Sequence[Distribution]
    installed: Installed = field(default_factory=lambda: Installed(()))

    @classmethod
    def of(cls, environment: Environment) -> Inventory:
        """Read what is installed; nothing of it is run. Raises UserError where a record cannot be read."""
        records = read_records(environment.prefix) if environment.is_conda else []
        installed = Installed.in_folders(environment.site_packages)
        return cls(environment, records, distributions.of_pip(installed, records, environment), installed)

    @cached_property
    def platform(self) -> str:
        """What conda calls the machine that the packages are for."""
        return platform_of(self.records) or platform_here()

    @cached_property
    def conda(self) -> tuple[Package, ...]:
        """The packages that conda installed."""
        return tuple(record.package for record in self.records)

    @cached_property
    def pip(self) -> tuple[Package, ...]:
        """The packages that pip installed, as far as their own files tell."""
        return tuple(distributions.package_of(each, self.environment) for each in self.distributions)

    @property
    def packages(self) -> tuple[Package, ...]:
        """Everything."""
        return (*self.conda, *self.pip)

    @property
    def replaced(self) -> list[tuple[Record, Distribution]]:
        """What conda installed and pip has replaced since."""
        return distributions.replaced(self.distributions, self.records)
