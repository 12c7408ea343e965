# The public names, and where each comes from: it is imported when it is first asked for.
from . import datasets as datasets
from . import rois as rois
from . import spatialdata as spatialdata
from . import ufuncs as ufuncs
from .accessor import DatasetPrep as DatasetPrep
from .accessor import ImagePrep as ImagePrep
from .accessor import TreePrep as TreePrep
from .batch import (
    BatchInterruptedError as BatchInterruptedError,
)
from .batch import (
    BatchReport as BatchReport,
)
from .batch import (
    RecipeError as RecipeError,
)
from .batch import (
    run as run,
)
from .batch import (
    status as status,
)
from .errors import (
    ChunkError as ChunkError,
)
from .errors import (
    ChunksWarning as ChunksWarning,
)
from .errors import (
    EmptyChannelWarning as EmptyChannelWarning,
)
from .errors import (
    NobodyWorksError as NobodyWorksError,
)
from .errors import (
    PaddedImageWarning as PaddedImageWarning,
)
from .errors import (
    PercentileWarning as PercentileWarning,
)
from .errors import (
    ScratchFullError as ScratchFullError,
)
from .errors import (
    SourceChangedError as SourceChangedError,
)
from .errors import (
    StoreExistsError as StoreExistsError,
)
from .errors import (
    StoreFormatError as StoreFormatError,
)
from .errors import (
    StoreFormatWarning as StoreFormatWarning,
)
from .errors import (
    UnfinishedStoreError as UnfinishedStoreError,
)
from .images import (
    Report as Report,
)
from .images import (
    Validation as Validation,
)
from .images import (
    Verification as Verification,
)
from .images import (
    open_image as open_image,
)
from .images import (
    open_tree as open_tree,
)
from .images import (
    statistics_of as statistics_of,
)
from .images import (
    to_ome_zarr as to_ome_zarr,
)
from .images import (
    validate as validate,
)
from .images import (
    verify as verify,
)
from .ops import (
    Plan as Plan,
)
from .ops import (
    background as background,
)
from .ops import (
    fit_normalize as fit_normalize,
)
from .ops import (
    gaussian_filter as gaussian_filter,
)
from .ops import (
    normalize as normalize,
)
from .ops import (
    plan as plan,
)
from .ops import (
    project as project,
)
from .ops import (
    pyramid as pyramid,
)
from .ops import (
    quantile as quantile,
)
from .ops import (
    rescale as rescale,
)
from .ops import (
    subtract_background as subtract_background,
)
from .ops import (
    to_isotropic as to_isotropic,
)
from .options import set_options as set_options
from .plot import (
    compare as compare,
)
from .plot import (
    plot_channels as plot_channels,
)
from .plot import (
    plot_histograms as plot_histograms,
)
from .plot import (
    plot_projections as plot_projections,
)
from .plot import (
    plot_rois as plot_rois,
)
from .rois import RoiTable as RoiTable
from .rois.in_containers import centered as centered
from .rois.in_containers import mask as mask
from .rois.in_containers import roi_features as roi_features
from .rois.in_containers import traces as traces
from .version import show_versions as show_versions
from .viewer.session import ViewerPage as ViewerPage
from .viewer.showing import view as view

__version__: str
