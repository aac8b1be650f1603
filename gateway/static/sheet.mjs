// The 体温单.
import { openSheets } from "/sheets.mjs";

openSheets("sheet");
