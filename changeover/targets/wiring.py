"""Builds the target from its settings, chosen by the scheme of the URL.

Apart from the programs' wiring, so that an application has the target without the log's client library.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from changeover.errors import SettingsInvalid
from changeover.mapping import ObjectMapping, Rules
from changeover.mapping.function import load
from changeover.riak.access import PORT, Access, Login, Node
from changeover.settings import Settings, TableMappingSettings, TargetSettings, path_in
from changeover.table import Table
from changeover.targets import Target
from changeover.targets.riak.target import Options, RiakTarget
from changeover.targets.riak.target import check as check_riak
from changeover.targets.sqlite import SQLiteTarget
from changeover.targets.sqlite import check as check_sqlite


def open_target(settings: Settings, *, for_s: float | None = None) -> Target[Any]:
    """The pipeline's target; a SQLite file is made if it is not there.

    `for_s` is for somebody who waits no longer: whatever takes longer fails, and nothing is tried again.
    """
    target = settings.target
    if target.nodes:
        access, options = riak_access(target), riak_options(target)
        if for_s is not None:
            access = replace(
                access,
                connect_timeout_s=min(access.connect_timeout_s, for_s),
                answer_timeout_s=min(access.answer_timeout_s, for_s),
            )
            options = replace(options, pauses_s=())
        return RiakTarget(access, settings.pipeline, mapping_of(settings), options)
    return SQLiteTarget(_target_file(settings), settings.pipeline, adopt=target.adopt, lock_wait_s=for_s)


def check_target_of(settings: Settings) -> None:
    """As `check_stores`, for the target alone."""
    if settings.target.nodes:
        check_riak(riak_access(settings.target), settings.pipeline, riak_options(settings.target))
    else:
        check_sqlite(_target_file(settings), settings.pipeline, adopt=settings.target.adopt)


def check_mapping(settings: Settings, tables: Sequence[Table]) -> None:
    """Return if each row of these tables becomes an object of its own by the settings' rules, else raise."""
    if settings.target.nodes:
        mapping_of(settings).check(tables)


def mapping_of(settings: Settings) -> ObjectMapping:
    """The mapping of the settings, its functions loaded."""
    return ObjectMapping({name: _rules(rules) for name, rules in settings.mapping.tables.items()})


def riak_access(target: TargetSettings) -> Access:
    """How to reach the Riak cluster of the settings."""
    login = None
    if target.ca_file and not target.user:
        message = "target.ca_file is set, and no target.user: Riak talks TLS only with a user"
        raise SettingsInvalid(message, hint="Name the user, or take ca_file out.")
    if target.user:
        login = Login(user=target.user, password=target.secret(), ca_file=target.ca_file)
    return Access(
        nodes=tuple(Node(host, port or PORT) for host, port in target.nodes),
        login=login,
        connect_timeout_s=target.connect_timeout_s,
        answer_timeout_s=target.answer_timeout_s,
    )


def riak_options(target: TargetSettings) -> Options:
    """What the settings say of a target in Riak."""
    return Options(
        bucket_type=target.bucket_type,
        ordering=target.ordering,
        adopt=target.adopt,
        object_bytes_warn=target.object_bytes_warn,
        object_bytes_max=target.object_bytes_max,
    )


def _rules(rules: TableMappingSettings) -> Rules:
    return Rules(
        bucket=rules.bucket,
        key_prefix=rules.key_prefix,
        rename=rules.rename,
        leave_out=rules.leave_out,
        constants=rules.constants,
        index=rules.index,
        own=load(rules.function) if rules.function else None,
    )


def _target_file(settings: Settings) -> Path:
    file = path_in(settings.target.url, "target.url", "sqlite:FILE or riak://host:port")
    if settings.mapping.tables:
        message = "mapping.tables has rules, and the target is a SQLite file, which takes rows as they are"
        raise SettingsInvalid(message, hint="Take the rules out, or move into riak://host:port.")
    return file
