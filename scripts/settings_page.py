"""Writes docs/settings.md from the settings themselves."""

from pathlib import Path

from pydantic import BaseModel

from changeover.settings import Settings, TableMappingSettings

HEAD = """# Settings

One TOML file, `changeover.toml` by default. Each setting can be given by the environment too, which goes
over the file: `[source] password` as `CHANGEOVER_SOURCE__PASSWORD`. An unknown setting is an error.
`changeover config show` lists all with their values and origins. `make pages` generates this page.
"""


def page() -> str:
    """The page's text."""
    lines = [HEAD]
    plain = [name for name, field in Settings.model_fields.items() if not _section(field.annotation)]
    lines += ["| setting | default | meaning |", "|---|---|---|"]
    lines += [_row(Settings, name) for name in plain]
    for name, field in Settings.model_fields.items():
        section = _section(field.annotation)
        if section:
            lines += ["", f"## [{name}]", "", f"{section.__doc__}", ""]
            lines += ["| setting | default | meaning |", "|---|---|---|"]
            lines += [_row(section, inner) for inner in section.model_fields]
    lines += ["", '## [mapping.tables."schema.table"]', "", f"{TableMappingSettings.__doc__}", ""]
    lines += ["| setting | default | meaning |", "|---|---|---|"]
    lines += [_row(TableMappingSettings, inner) for inner in TableMappingSettings.model_fields]
    return "\n".join(lines) + "\n"


def _section(annotation: object) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _row(section: type[BaseModel], name: str) -> str:
    field = section.model_fields[name]
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    given = "" if default in (None, (), {}, "") else f"`{default}`"
    shown = "required" if field.is_required() else given
    return f"| `{name}` | {shown} | {(field.description or '').replace('|', chr(92) + '|')} |"


if __name__ == "__main__":
    Path(__file__).parents[1].joinpath("docs/settings.md").write_text(page())
