# One way to declare a library or a test, so that flags are the same everywhere.

add_library(kiln_flags INTERFACE)
target_include_directories(kiln_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(kiln_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wnon-virtual-dtor -Werror
  -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(kiln_flags INTERFACE -Wshadow -Wno-shadow-field-in-constructor)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports these inside std::string and std::vector where nothing is wrong (GCC bugs 105651, 105329).
  target_compile_options(kiln_flags INTERFACE -Wshadow=local
    # ... and the first of these in coroutine frames, whose operator new is Asio's own (GCC bug 109224).
    -Wno-mismatched-new-delete -Wno-format-truncation
    -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds -Wno-maybe-uninitialized
    -Wno-missing-field-initializers)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(kiln_flags INTERFACE -Wno-missing-field-initializers)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_definitions(kiln_flags INTERFACE _FORTIFY_SOURCE=2)
endif()
if(KILN_FAILPOINTS)
  target_compile_definitions(kiln_flags INTERFACE KILN_FAILPOINTS)
endif()
if(KILN_SANITIZE)
  target_compile_options(kiln_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined)
  target_link_options(kiln_flags INTERFACE -fsanitize=address,undefined)
endif()
if(KILN_TSAN)
  # GCC warns that TSan does not model fences; Asio uses them, correctly.
  target_compile_options(kiln_flags INTERFACE -fsanitize=thread -Wno-tsan)
  target_link_options(kiln_flags INTERFACE -fsanitize=thread)
endif()
if(KILN_FUZZ)
  # Clang 14 cannot emit the check of function types into coroutines ("difference across sections").
  target_compile_options(kiln_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize=function)
  target_link_options(kiln_flags INTERFACE -fsanitize=address,undefined)
endif()

# kiln_library(NAME [LINK target…]): every *.cc directly in this folder and its sub-folders named in SUBDIRS.
function(kiln_library name)
  cmake_parse_arguments(arg "" "" "LINK;SUBDIRS;EXCLUDE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cc)
  foreach(folder IN LISTS arg_SUBDIRS)
    file(GLOB more CONFIGURE_DEPENDS ${folder}/*.cc)
    list(APPEND sources ${more})
  endforeach()
  foreach(name_excluded IN LISTS arg_EXCLUDE)
    list(REMOVE_ITEM sources ${CMAKE_CURRENT_SOURCE_DIR}/${name_excluded})
  endforeach()
  if(NOT sources)
    add_library(kiln_${name} INTERFACE)
    target_link_libraries(kiln_${name} INTERFACE kiln_flags ${arg_LINK})
    return()
  endif()
  add_library(kiln_${name} STATIC ${sources})
  target_link_libraries(kiln_${name} PUBLIC kiln_flags ${arg_LINK})
  if(name STREQUAL "base")
    target_precompile_headers(kiln_base PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h)
  else()
    target_precompile_headers(kiln_${name} REUSE_FROM kiln_base)
  endif()
endfunction()

# kiln_static_program(NAME SOURCES … [LINK …]): a small fully static program that the kiln binary carries
# inside. Never instrumented: it runs where no sanitizer runtime can.
function(kiln_static_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_options(${name} PRIVATE -Wall -Wextra -Werror -O2 -ffunction-sections -fdata-sections)
  target_link_options(${name} PRIVATE -static -Wl,--gc-sections -s)
  target_link_libraries(${name} PRIVATE ${arg_LINK})
endfunction()

# kiln_prefer_static(TARGET): an imported library as its archive, where that is installed beside it.
function(kiln_prefer_static target)
  foreach(property IN ITEMS INTERFACE_LINK_LIBRARIES IMPORTED_LOCATION)
    get_target_property(library ${target} ${property})
    string(REGEX REPLACE "\\.so[.0-9]*$" ".a" archive "${library}")
    if(library AND NOT archive STREQUAL library AND EXISTS "${archive}")
      set_target_properties(${target} PROPERTIES ${property} "${archive}")
    endif()
  endforeach()
endfunction()
