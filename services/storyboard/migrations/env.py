from shared.persistence.migrations import run
from storyboard.models import Base

run(Base.metadata)
