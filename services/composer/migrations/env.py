from composer.models import Base
from shared.persistence.migrations import run

run(Base.metadata)
