//! Bodies of the fuzz targets: no input may panic, and what comes out keeps its promises.
