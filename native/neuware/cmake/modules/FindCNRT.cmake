# For build files that put ${NEUWARE_HOME}/cmake/modules into CMAKE_MODULE_PATH, as the vendor's own do.
include("${CMAKE_CURRENT_LIST_DIR}/../../lib64/cmake/cnrt/cnrt-config.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/../../lib64/cmake/cnrt/cnrt-config-version.cmake")
set(CNRT_VERSION "${PACKAGE_VERSION}")
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CNRT REQUIRED_VARS CNRT_LIBRARY CNRT_INCLUDE_DIR VERSION_VAR CNRT_VERSION)
