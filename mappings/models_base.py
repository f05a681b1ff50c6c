"""What every model of a mapping file is made of. Areas with models of their own (`models_<area>.py`) build on these; `models.py` gathers them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Sql = Annotated[str, Field(min_length=1, max_length=2000)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(Model):
    """A text on records. `{column}` or `{column:format}` slots take columns of the row; formats: int, dec1, percent, date, month, money."""

    en: str = Field(min_length=1, max_length=255)
    ja: str = Field(min_length=1, max_length=255)
