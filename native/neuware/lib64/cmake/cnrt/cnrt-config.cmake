# find_package(CNRT) or find_package(cnrt), with NEUWARE_HOME in CMAKE_PREFIX_PATH. Defines CNRT::cnrt and CNRT::cndrv, and the
# variables under which public build files keep the same things. Nothing here depends on where the tree lies.
get_filename_component(_cnrt_home "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
foreach(_cnrt_name cnrt cndrv)
  if(NOT TARGET CNRT::${_cnrt_name})
    add_library(CNRT::${_cnrt_name} SHARED IMPORTED)
    set_target_properties(CNRT::${_cnrt_name} PROPERTIES
      IMPORTED_LOCATION "${_cnrt_home}/lib64/lib${_cnrt_name}.so"
      IMPORTED_SONAME "lib${_cnrt_name}.so"
      INTERFACE_INCLUDE_DIRECTORIES "${_cnrt_home}/include")
  endif()
endforeach()
set(CNRT_INCLUDE_DIR "${_cnrt_home}/include")
set(CNRT_INCLUDE_DIRS "${CNRT_INCLUDE_DIR}")
set(CNRT_LIBRARY "${_cnrt_home}/lib64/libcnrt.so")
set(CNDRV_LIBRARY "${_cnrt_home}/lib64/libcndrv.so")
set(CNRT_LIBRARIES "${CNRT_LIBRARY}" "${CNDRV_LIBRARY}")
set(CNRT_LIBS "${CNRT_LIBRARIES}")
unset(_cnrt_name)
unset(_cnrt_home)
